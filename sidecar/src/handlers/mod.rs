//! What the routes do: parse, ask the engine, respond.

mod health;
mod review;

pub(crate) use health::health;
pub(crate) use review::review;
