//! The engine as the Python module `memora_srs._core`.
//!
//! A door like the sidecar's: each method reads its arguments, runs one operation of
//! `memora_core::services` and translates the answer. No rule lives here.
//!
//! | file | job |
//! |---|---|
//! | [`runtime`] | the process's engine, forks, waiting, signals, panics |
//! | [`gate`] | keeps forks and work apart |
//! | [`error`] | errors to exceptions |
//! | [`logging`] | log lines to Python's logging |
//! | [`convert`] | values between Python and the engine |
//! | [`engine`] | a site by name, which every class is |
//! | the others | one class each |

#![expect(
    clippy::doc_markdown,
    reason = "what documents a class or method is Python's docstring"
)]

mod archiver;
mod convert;
mod engine;
mod error;
mod gate;
mod journal;
mod logging;
mod metrics;
mod partitions;
mod persistence;
mod players;
mod reconciliation;
mod redis_manager;
mod review;
mod runtime;
mod safe_mode;
mod scheduling;
mod schema;
mod telling;
mod wheel;

use pyo3::prelude::*;

/// Native part of ``memora_srs``; import from ``memora_srs``, not from here.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::archiver::SRSArchiver;
    #[pymodule_export]
    use crate::journal::Journal;
    #[pymodule_export]
    use crate::metrics::Metrics;
    #[pymodule_export]
    use crate::partitions::PartitionManager;
    #[pymodule_export]
    use crate::persistence::SRSPersistenceService;
    #[pymodule_export]
    use crate::players::Players;
    #[pymodule_export]
    use crate::reconciliation::SRSReconciliationService;
    #[pymodule_export]
    use crate::redis_manager::SRSRedisManager;
    #[pymodule_export]
    use crate::review::ReviewService;
    #[pymodule_export]
    use crate::safe_mode::SafeModeManager;
    #[pymodule_export]
    use crate::scheduling::{schedule, xp_for_quality};
    #[pymodule_export]
    use crate::schema::Schema;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::runtime::watch_forks()
    }
}
