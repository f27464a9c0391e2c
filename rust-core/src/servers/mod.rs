//! Connections to the two servers, and nothing else: no statement, no key.
//!
//! Both are lazy: building one opens no socket, so a site can be described while its
//! servers are away.

pub mod breaker;
pub mod mariadb;
pub mod redis;
pub mod refusal;
