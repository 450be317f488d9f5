//! stub

use std::sync::Arc;

use crate::config::Site;
use crate::origin::Origin;

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

/// stub
///
/// # Errors
/// stub
pub fn build(_site: &Site) -> Result<Arc<dyn Origin>, Error> {
    Ok(Arc::new(Toy))
}

struct Toy;
#[async_trait::async_trait]
impl Origin for Toy {
    async fn fetch(&self, _: &crate::origin::Fetch) -> Result<crate::origin::Reply, crate::origin::Error> { Err(crate::origin::Error::Down) }
    fn health(&self) -> Vec<crate::origin::EndpointHealth> { Vec::new() }
}
