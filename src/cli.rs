//! The command line: a client of the served API.
