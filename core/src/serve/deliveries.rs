//! Deliveries of a pipeline that is served: at most one under way for each destination, so that a slow one holds up no
//! other and no step. What fails for a while is tried again; what fails for good waits for a reload.

use crate::{
    Error, Result,
    activate::{Courier, Sent, stops, wait_ms},
    config::Destination,
    log,
    step::{Run, bell::Bell},
};
use kindred_plugin_api::FaultKind;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What goes on at one destination.
#[derive(Debug)]
enum At {
    UnderWay(Courier, u32),
    /// Tried so often; again then.
    Again(Instant, u32),
    /// Its policy says stop.
    Stopped,
}

/// What goes on at all destinations.
#[derive(Debug, Default)]
pub(super) struct Deliveries(BTreeMap<String, At>);

impl Deliveries {
    /// Cuts what is new and sets out with all that waits.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn begin(
        &mut self,
        run: &mut Run<'_>,
        destinations: &[Destination],
        bell: &Bell,
    ) -> Result<()> {
        run.cut(|name| matches!(self.0.get(name), Some(At::UnderWay(..))))?;
        for destination in destinations {
            if !self.0.contains_key(&destination.name) {
                self.set_out(run, destination, 0, bell)?;
            }
        }
        Ok(())
    }

    fn set_out(&mut self, run: &mut Run<'_>, to: &Destination, tried: u32, bell: &Bell) -> Result<()> {
        match run.send(to, bell)? {
            Some(courier) => self.0.insert(to.name.clone(), At::UnderWay(courier, tried + 1)),
            None => self.0.remove(&to.name),
        };
        Ok(())
    }

    /// Takes in what is back, and sets out again where it is time.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn tend(
        &mut self,
        run: &mut Run<'_>,
        destinations: &[Destination],
        bell: &Bell,
    ) -> Result<()> {
        for destination in destinations {
            match self.0.remove(&destination.name) {
                None => {}
                Some(At::UnderWay(courier, tried)) => self.look(run, destination, courier, tried)?,
                Some(At::Again(then, tried)) if then <= Instant::now() => {
                    self.set_out(run, destination, tried, bell)?;
                }
                Some(other) => drop(self.0.insert(destination.name.clone(), other)),
            }
        }
        Ok(())
    }

    fn look(&mut self, run: &mut Run<'_>, to: &Destination, courier: Courier, tried: u32) -> Result<()> {
        let fault = match courier.look() {
            None => {
                self.0.insert(to.name.clone(), At::UnderWay(courier, tried));
                return Ok(());
            }
            Some(Ok(flushed)) => match run.sent(to, (courier.into_waiting(), flushed)) {
                Ok(sent) => {
                    run.note(&to.name, Some(sent));
                    return Ok(());
                }
                // It took the delivery and refused rows, and its policy says that this stops it.
                Err(Error::Plugin { fault, .. }) => *fault,
                Err(error) => return Err(error),
            },
            Some(Err(fault)) => fault,
        };
        run.note(&to.name, Some(Sent { pending: Some(fault.message.clone()), ..Sent::default() }));
        let at = if stops(to, &fault) {
            log::error(&format!("destination `{}`: {fault}; it is stopped until a reload", to.name));
            At::Stopped
        } else {
            let wait = Duration::from_millis(match fault.kind {
                FaultKind::Transient => wait_ms(tried, &fault),
                _ => wait_ms(u32::MAX, &fault),
            });
            log::warn(&format!(
                "destination `{}`: {fault}; tried again in {} s",
                to.name,
                wait.as_secs_f32()
            ));
            At::Again(Instant::now() + wait, tried)
        };
        self.0.insert(to.name.clone(), at);
        Ok(())
    }

    /// Waits for what is under way, at most so long, and forgets it: the store keeps it pending.
    pub(super) fn give_up(self, bell: &Bell, until: Instant) {
        for at in self.0.into_values() {
            let At::UnderWay(courier, _) = at else { continue };
            while courier.look().is_none() && Instant::now() < until {
                bell.wait(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
            }
        }
    }

    /// Waits for what is under way, at most so long.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn finish(
        &mut self,
        run: &mut Run<'_>,
        destinations: &[Destination],
        (bell, until): (&Bell, Instant),
    ) -> Result<()> {
        let under_way = |this: &Self| this.0.values().any(|at| matches!(at, At::UnderWay(..)));
        while under_way(self) && Instant::now() < until {
            bell.wait(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
            for destination in destinations {
                if let Some(at) = self.0.remove(&destination.name) {
                    match at {
                        At::UnderWay(courier, tried) => self.look(run, destination, courier, tried)?,
                        other => drop(self.0.insert(destination.name.clone(), other)),
                    }
                }
            }
        }
        Ok(())
    }
}
