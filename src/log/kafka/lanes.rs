//! Lanes: consumers that all readers share.

use std::sync::Arc;

use super::Cluster;

pub(super) struct Lanes {
    pub(super) cluster: Arc<Cluster>,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }
}
