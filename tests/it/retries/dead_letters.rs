//! Dead letters of a group: see the service.
use super::*;
