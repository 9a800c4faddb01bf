//! The locks of the hand-over from publishers to readers. They are parking_lot's; where the engine is built for shuttle
//! (`efir-schedules`), they are shuttle's, which chooses who goes on wherever one is taken.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;
#[cfg(shuttle)]
pub(crate) use scheduled::Mutex;
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(shuttle)]
mod scheduled {
    /// With the face of the other one: nobody who holds it panics and lives on.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}
