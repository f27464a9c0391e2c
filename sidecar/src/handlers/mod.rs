//! What the routes do: parse, ask the engine, respond.

mod health;
mod method;
mod openapi;
mod page;
mod review;
mod srs;

pub(crate) use health::health;
pub(crate) use method::method;
pub(crate) use openapi::openapi;
pub(crate) use page::page;
