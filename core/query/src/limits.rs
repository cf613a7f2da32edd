//! What the process may take: memory, enforced by the system, because the engine's own accounting does not hold for
//! every plan.

use crate::{
    arguments::Arguments,
    error::{Error, Result},
};
use jiff::SignedDuration;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

/// Below this the engine cannot start.
const LEAST: u64 = 64 << 20;

/// Sets the limits of this process, and ends it when the process that called it ends.
pub(crate) fn apply(arguments: &Arguments) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| Error::Start(e.into()))?;
    let memory = memory(arguments);
    // Heap and stacks; files that are mapped and address space that is only reserved do not count.
    let hard = getrlimit(Resource::Data).maximum;
    let limit = Rlimit { current: Some(hard.map_or(memory, |most| most.min(memory))), maximum: hard };
    setrlimit(Resource::Data, limit).map_err(|e| Error::Start(e.into()))
}

/// What the process may take, bytes.
pub(crate) fn memory(arguments: &Arguments) -> u64 {
    arguments.memory.unwrap_or_else(|| machine() / 2).max(LEAST)
}

/// Memory of the machine, or of the container where that is less.
fn machine() -> u64 {
    let info = rustix::system::sysinfo();
    let whole = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    container.and_then(|text| text.trim().parse().ok()).map_or(whole, |most: u64| most.min(whole))
}

/// A time such as `30s`, `5 minutes`, `1h`.
pub(crate) fn time(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(time) if time.is_positive() => Ok(time),
        Ok(_) => Err("must be more than nothing".into()),
        Err(error) => Err(format!("write a number and a unit, such as 30s or 5m: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("90s"), Ok(SignedDuration::from_secs(90)));
        assert_eq!(time("5 minutes"), Ok(SignedDuration::from_mins(5)));
        for bad in ["", "5", "0s", "-3s", "soon"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
