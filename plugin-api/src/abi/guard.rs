//! The plugin's side of the door: no panic leaves, whatever the author's code does.

use super::raw::{RawFault, RawFaultKind, R};
use crate::{Context, Fault, FaultKind};
use abi_stable::std_types::RResult;
use std::{
    mem::ManuallyDrop,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// Runs author's code; a panic becomes a fault of kind PANIC.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, Fault>) -> R<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => RResult::ROk(value),
        Ok(Err(fault)) => RResult::RErr(fault.into()),
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|s| (*s).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic without a text".to_owned());
            // Dropping a payload may itself panic, out of reach of the catch above.
            std::mem::forget(payload);
            RResult::RErr(Fault::new(FaultKind::Panic, "panic", format!("panicked: {text}")).into())
        }
    }
}

/// An author's plugin whose `Drop` is guarded too.
pub(crate) struct Guarded<T> {
    inner: ManuallyDrop<T>,
    context: Context,
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T, context: Context) -> Self {
        Self { inner: ManuallyDrop::new(inner), context }
    }
}

impl<T> std::ops::Deref for Guarded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> std::ops::DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: `inner` is taken here only, and this runs once.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        let dropped = guard(|| {
            drop(inner);
            Ok(())
        });
        if let RResult::RErr(fault) = dropped {
            self.context.error(&format!("in drop: {}", fault.message));
        }
    }
}

impl From<Fault> for RawFault {
    fn from(fault: Fault) -> Self {
        let detail = if fault.problems.is_empty() {
            String::new()
        } else {
            serde_json::json!(fault.problems).to_string()
        };
        Self {
            kind: RawFaultKind(fault.kind as u32),
            retry_after_ms: fault.retry_after_ms,
            code: fault.code.into(),
            message: fault.message.into(),
            detail_json: detail.into(),
        }
    }
}

impl From<RawFault> for Fault {
    fn from(raw: RawFault) -> Self {
        let problems = serde_json::from_str(raw.detail_json.as_str()).unwrap_or_default();
        Self {
            kind: FaultKind::from_number(raw.kind.0),
            retry_after_ms: raw.retry_after_ms,
            code: raw.code.into(),
            message: raw.message.into(),
            problems,
        }
    }
}
