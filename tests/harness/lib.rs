//! The harness: private servers on free ports, sites on them, clients and load.
