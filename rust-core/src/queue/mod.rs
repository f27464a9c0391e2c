//! RQ's wire format: producer and worker protocol.
