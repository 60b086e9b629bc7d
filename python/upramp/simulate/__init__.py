"""Simulated HST WFC3/IR MULTIACCUM exposures, and mosaics of FLT files, with known truth.

>>> from upramp.simulate import Exposure, Scene, simulate
>>> simulation = simulate(Exposure(size=64, nsamp=5), Scene(helium=1.0))
>>> simulation.sci.shape
(5, 74, 74)
"""

from __future__ import annotations

from upramp.simulate.detector import Exposure, Simulation, simulate
from upramp.simulate.mosaic import MosaicTruth, mosaic
from upramp.simulate.scene import Scene

__all__ = ["Exposure", "MosaicTruth", "Scene", "Simulation", "mosaic", "simulate"]
