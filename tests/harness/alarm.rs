//! Waiting until a planned moment, to some microseconds.
//!
//! tokio's timers are right to a millisecond, which is about what a request takes: all that
//! were planned within one would start together, and late. The kernel's are right to some
//! microseconds (`timerfd_create(2)`).

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Rings once, whenever it is set to.
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// Without a file descriptor left, or a runtime.
    pub(crate) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(unsafe_code, reason = "tokio has no safe way to register any more")]
        // SAFETY: an `OwnedFd` is one open descriptor for as long as it is owned.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self { timer })
    }

    /// Waits until then; not at all if that is past.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) async fn until(&mut self, moment: Instant) -> Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let timer = self.timer.get_ref();
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once(left))?;
        loop {
            let mut ready = self.timer.readable().await?;
            match read(self.timer.get_ref(), &mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn once(left: Duration) -> Itimerspec {
    let never = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Itimerspec {
        it_interval: never,
        it_value: Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_when_it_is_set_to_and_again() {
        let mut alarm = Alarm::new().unwrap();
        for millis in [3, 0, 2] {
            let moment = Instant::now() + Duration::from_millis(millis);
            alarm.until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
        let past = Instant::now() - Duration::from_secs(1);
        alarm.until(past).await.unwrap();
    }
}
