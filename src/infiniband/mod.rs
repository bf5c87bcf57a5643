//! What InfiniBand itself asks for: HCA families, IPoIB modes, MTUs, pkeys, and what an IPoIB device cannot do. Nothing
//! here knows images or files.

mod ipoib;

pub(crate) use ipoib::{IpoibInterface, IpoibSettings};
