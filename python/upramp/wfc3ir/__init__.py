"""WFC3/IR exposures: files, references, the last calibration steps."""
