//! Asking a region about the place it is in, and about this login's rights there.
//!
//! Promises: nothing that anybody stored is touched; an answer that did not come says why. Does not do: judging.

use super::{Call, Deleted, Region};
use crate::bucket::about::{About, NotTold, Told};
use crate::error::{ErrorKind, Failure};
use crate::meter::OpKind;
use std::sync::Arc;

/// What a question about the bucket is called in errors.
const ABOUT: &str = "the bucket";

impl Region {
    /// What the service tells of the bucket; none where the region is no bucket.
    pub async fn about(&self) -> Option<About> {
        let service = Arc::clone(self.service.as_ref()?);
        let mut answers = Vec::new();
        for question in service.questions() {
            let call = Call::new(OpKind::Head, ABOUT);
            let answer = self.call(call, || async {
                let asked = service.ask(&question);
                let answer = self.timed(self.limits().stall, asked).await?.map_err(Failure::of)?;
                let bytes = answer.body.len() as u64;
                Ok((answer, bytes))
            });
            answers.push(answer.await.map_err(|error| NotTold::from(&error)));
        }
        Some(service.read(&answers))
    }

    /// Whether this login may delete objects here: one is deleted under a name that nobody ever gave to any. A service that looks at
    /// rights first refuses, and else says that there is no such object (Google, Azure) or that it is gone (S3, where in a
    /// versioned bucket a deletion marker under that name remains).
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn may_delete(&self) -> Told<bool> {
        let (Ok(high), Ok(low)) = (self.world.random.next_u64(), self.world.random.next_u64()) else {
            return Err(NotTold("this host has no random numbers for a name".to_owned()));
        };
        match self.delete(&format!("seawall.check-{high:016x}{low:016x}")).await {
            Ok(Deleted::Deleted | Deleted::WasAbsent) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Denied => Ok(false),
            Err(error) => Err(NotTold::from(&error)),
        }
    }
}
