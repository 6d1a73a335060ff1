//! The commands, one file each.

mod compare;
mod connect;
mod load;
mod run;
mod verify;
mod weather;

pub(crate) use compare::{CompareArgs, RegistryArgs, areas, compare_runs, registry};
pub(crate) use load::{LoadArgs, load};
pub(crate) use run::{RunArgs, run};
pub(crate) use verify::{VerifyArgs, verify};
pub(crate) use weather::{WeatherArgs, weather};
