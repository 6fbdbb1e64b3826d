//! A group's membership.

use std::sync::Arc;

use super::{Cluster, fault};
use crate::{
    error::Result,
    log::Membership,
    name::{Group, Topic},
};

pub(super) async fn join(_cluster: &Arc<Cluster>, _group: &Group, _topics: &[Topic]) -> Result<Membership> {
    Err(fault::closed())
}
