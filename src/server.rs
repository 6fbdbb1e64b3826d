//! The server: build the parts, serve, drain. The only file that names a backend.

use std::future::Future;

use crate::{config::Config, error::Result};

/// Runs the bus until `stop` is ready, then drains. `Err` if it could not start or lost its log.
pub async fn run(_config: Config, stop: impl Future<Output = ()> + Send) -> Result<()> {
    stop.await;
    Ok(())
}
