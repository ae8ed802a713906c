//! `GET /v1/admin/orders`: all orders, filtered and paged.
//! Never changes one.

use std::sync::Arc;

use warp::reply::Response;

use crate::app::App;
use crate::problem::Problem;

/// `GET /v1/admin/orders`
pub async fn list(app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    crate::orders::list(&app, &raw_query, false).await
}
