//! Faults put into effect on single calls.

use super::{Fault, FaultyStore, InjectedFault, Late};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    GetResult, GetResultPayload, ObjectMeta, ObjectStoreExt, PutOptions, PutPayload, PutResult, Result,
};

/// Errors that come before any work.
pub(super) fn refuse(fault: Option<&Fault>) -> Result<()> {
    match fault {
        Some(Fault::FailBefore | Fault::ApplyLate { .. }) => Err(InjectedFault("before the work").into()),
        _ => Ok(()),
    }
}

/// Errors that come after the work.
pub(super) fn refuse_after(fault: Option<&Fault>) -> Result<()> {
    match fault {
        Some(Fault::FailAfter) => Err(InjectedFault("after the work").into()),
        _ => Ok(()),
    }
}

impl FaultyStore {
    pub(super) async fn put_with(
        &self,
        fault: Option<Fault>,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match fault {
            Some(Fault::Forget) => {
                Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
            }
            Some(Fault::ApplyLate { calls }) => {
                let mut state = self.lock();
                let before_call = calls.map(|calls| state.calls.len() as u64 + calls.max(1));
                state.late.push(Late { location: location.clone(), payload, options, before_call });
                Err(InjectedFault("to be done later").into())
            }
            fault => {
                refuse(fault.as_ref())?;
                let answer = self.inner.put_opts(location, payload, options).await?;
                refuse_after(fault.as_ref())?;
                Ok(answer)
            }
        }
    }

    pub(super) async fn delete_with(&self, fault: Option<Fault>, location: Path) -> Result<Path> {
        if fault == Some(Fault::Forget) {
            return Ok(location);
        }
        refuse(fault.as_ref())?;
        self.inner.delete(&location).await?;
        refuse_after(fault.as_ref())?;
        Ok(location)
    }
}

/// What a reader gets to see.
pub(super) async fn spoil(fault: Option<Fault>, answer: GetResult) -> Result<GetResult> {
    refuse_after(fault.as_ref())?;
    match fault {
        Some(fault @ (Fault::Truncate(_) | Fault::FlipBit(_))) => {
            let GetResult { payload, meta, range, attributes, extensions } = answer;
            let whole = GetResult {
                payload,
                meta: meta.clone(),
                range: range.clone(),
                attributes: attributes.clone(),
                extensions: extensions.clone(),
            };
            let bytes = spoil_bytes(&fault, whole.bytes().await?);
            let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
            Ok(GetResult { payload, meta, range, attributes, extensions })
        }
        _ => Ok(answer),
    }
}

fn spoil_bytes(fault: &Fault, bytes: Bytes) -> Bytes {
    match fault {
        Fault::Truncate(len) => bytes.slice(..bytes.len().min(usize::try_from(*len).unwrap_or(usize::MAX))),
        Fault::FlipBit(bit) if !bytes.is_empty() => {
            let mut spoiled = bytes.to_vec();
            let index = usize::try_from(bit / 8 % bytes.len() as u64).unwrap_or(0);
            if let Some(byte) = spoiled.get_mut(index) {
                *byte ^= 1 << (bit % 8);
            }
            spoiled.into()
        }
        _ => bytes,
    }
}

/// The first part is spoilt.
pub(super) fn spoil_parts(fault: Option<&Fault>, mut parts: Vec<Bytes>) -> Vec<Bytes> {
    if let (Some(fault), Some(first)) = (fault, parts.first_mut()) {
        *first = spoil_bytes(fault, std::mem::take(first));
    }
    parts
}

/// What a lister gets to see.
pub(super) fn spoil_list(
    fault: Option<&Fault>,
    list: impl FnOnce() -> BoxStream<'static, Result<ObjectMeta>>,
) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
    refuse(fault)?;
    let broken = |reason| stream::once(async move { Err(InjectedFault(reason).into()) });
    Ok(match fault {
        Some(Fault::FailAfter) => list().chain(broken("at the end of the listing")).into_stream().boxed(),
        Some(Fault::Truncate(names)) => {
            let names = usize::try_from(*names).unwrap_or(usize::MAX);
            list().take(names).chain(broken("amid the listing")).boxed()
        }
        _ => list(),
    })
}
