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
    Err(Error)
}
