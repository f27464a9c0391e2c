//! Long calls that tell Python how far they are.

use std::sync::{Arc, Mutex, PoisonError};

use memora_core::Result;
use memora_core::services::Site;
use memora_core::services::work::{Progress, Tell};
use pyo3::prelude::*;

use crate::engine::SiteRef;

impl SiteRef {
    /// [`SiteRef::run`] for work that takes long: `progress(phase, done, total)`, if given,
    /// is called some twenty times a second at most, `total` being 0 when it is not known.
    /// An exception in it ends the work, as a kill would.
    pub(crate) fn run_long<T, F>(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(Arc<Site>, Box<Tell>) -> F + Send,
    ) -> PyResult<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let latest: Arc<Mutex<Option<Progress>>> = Arc::default();
        let heard = latest.clone();
        let tell: Box<Tell> = Box::new(move |p| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(p);
        });
        self.run_telling(
            py,
            |site| work(site, tell),
            |_| {
                let news = latest.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let (Some(progress), Some(p)) = (progress, news) {
                    progress.call1((p.phase, p.done, p.total))?;
                }
                Ok(())
            },
        )
    }
}
