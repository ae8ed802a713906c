//! What the fuzz targets need of parsers that are nobody's business otherwise.
//! Never used by the server.

use farerush_engine::flight::Grab;

use crate::api::grab;
use crate::wire::problem::Problem;

/// A grab's body the quick way (`None`: not one of the usual ones) and the thorough way.
pub fn grab_both_ways(body: &[u8]) -> (Option<Grab>, Result<Grab, Problem>) {
    (grab::usual(body, None), grab::unusual(body, None))
}
