//! The engine as the Python module `memora_srs._core`.

use pyo3::prelude::*;

/// Native part of `memora_srs`.
#[pymodule]
mod _core {
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
