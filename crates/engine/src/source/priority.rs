//! Staying out of the server's way: processor and disk priority of the threads that do the work.
//!
//! Promise: only the calling thread changes, and only downwards. Disk priority has no call of its own here: as long as
//! none is set, Linux derives it from the processor's (`ioprio_set(2)`: best-effort, level (nice + 20) / 5), for the
//! schedulers that know priorities (BFQ). Where the scheduler knows none, the bandwidth limit is what helps.

use crate::error::Error;

/// How far a thread steps back: 0 is not at all, 19 is behind everyone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "u8")]
pub struct Niceness(u8);

/// A niceness that no system knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} is not a priority; expected 0 (as important as all others) to 19 (behind everyone)")]
pub struct NicenessError {
    given: u8,
}

impl TryFrom<u8> for Niceness {
    type Error = NicenessError;

    fn try_from(given: u8) -> Result<Self, NicenessError> {
        if given <= 19 { Ok(Self(given)) } else { Err(NicenessError { given }) }
    }
}

/// Makes the calling thread step back this far, for good.
pub fn lower_this_thread(niceness: Niceness) -> Result<(), Error> {
    let failed = |error: rustix::io::Errno| {
        let what = format!("cannot lower the priority of a worker to {}", niceness.0);
        Error::source_side("source.priority", what).because(std::io::Error::from(error))
    };
    // On Linux priorities belong to threads, and "this process" means the calling one.
    let present = rustix::process::getpriority_process(None).map_err(failed)?;
    let wanted = i32::from(niceness.0);
    if wanted <= present {
        return Ok(());
    }
    rustix::process::setpriority_process(None, wanted).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn only_the_calling_thread_steps_back_and_never_forward() {
        let before = now();
        let worker = std::thread::spawn(|| {
            lower_this_thread(Niceness::try_from(19).unwrap()).unwrap();
            lower_this_thread(Niceness::default()).unwrap();
            now()
        });
        assert_eq!(worker.join().unwrap(), 19);
        assert_eq!(now(), before);
        assert!(Niceness::try_from(20).unwrap_err().to_string().starts_with("20 is not a priority"));
    }
}
