//! stub

/// stub
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// stub
    pub node: String,
    /// stub
    pub version: String,
    /// stub
    pub addresses: Vec<String>,
}
