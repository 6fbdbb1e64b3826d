//! tonic services: convert, call the bus, convert.
