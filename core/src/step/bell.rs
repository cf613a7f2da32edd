//! A bell: whoever has something for the loop rings it, and the loop waits for that.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// A bell; its clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    /// Wakes who waits, or the next who will.
    pub fn ring(&self) {
        let (rung, wake) = &*self.0;
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_one();
    }

    /// Waits until it was rung since the last wait, at most this long.
    pub fn wait(&self, at_most: Duration) {
        let (rung, wake) = &*self.0;
        let rung = rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            wake.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_ring_before_the_wait_is_heard_once() {
        let (bell, begun) = (Bell::default(), Instant::now());
        bell.clone().ring();
        bell.wait(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30));
        bell.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20), "the second wait hears nothing");
    }

    #[test]
    fn a_ring_from_elsewhere_wakes() {
        let (bell, begun) = (Bell::default(), Instant::now());
        let other = bell.clone();
        let thread = std::thread::spawn(move || other.ring());
        bell.wait(Duration::from_secs(60));
        thread.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
