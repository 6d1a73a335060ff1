//! The commands, one file each.

mod connect;
mod load;
mod run;
mod verify;

pub(crate) use load::{LoadArgs, load};
pub(crate) use run::{RunArgs, run};
pub(crate) use verify::{VerifyArgs, verify};
