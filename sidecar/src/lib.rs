//! The engine behind hyper, the native queue worker and the admin command line.
