//! What a kernel may refuse. Every variant names the argument, what came and what was expected.

/// Shorthand used by all kernels.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An array whose shape does not fit the others.
    #[error("{name} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Argument.
        name: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
    /// A value outside its range.
    #[error("{name} is {got}, expected {expected}")]
    Value {
        /// Argument.
        name: &'static str,
        /// Its value.
        got: String,
        /// The range asked for.
        expected: &'static str,
    },
}

impl Error {
    /// A [`Error::Value`] from anything printable.
    pub fn value(name: &'static str, got: impl ToString, expected: &'static str) -> Self {
        Self::Value { name, got: got.to_string(), expected }
    }
}
