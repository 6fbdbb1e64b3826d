//! Configuration: defaults, overlaid by a file, overlaid by the environment; read once, all faults told together.

/// The whole configuration, valid.
#[derive(Clone, Debug)]
pub struct Config {}
