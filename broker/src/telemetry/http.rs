//! `/metrics`, `/healthz`, `/readyz`, `/version`.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;

use super::metrics::Metrics;

/// Whether the node can serve, and if not, why not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

struct Page {
    metrics: Arc<Metrics>,
    ready: Readiness,
    sample: Arc<dyn Fn() + Send + Sync>,
}

/// Starts serving. `sample` is called before metrics are shown.
pub fn serve(
    address: &str,
    metrics: Arc<Metrics>,
    ready: Readiness,
    sample: Arc<dyn Fn() + Send + Sync>,
) -> anyhow::Result<(Server, ServerHandle, std::net::SocketAddr)> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address} for HTTP; set http in broker.toml or NETPAY_HTTP"))?;
    let bound = listener.local_addr()?;
    let page = web::Data::new(Page { metrics, ready, sample });
    let app = move || {
        App::new()
            .app_data(page.clone())
            .route("/metrics", web::get().to(metrics_page))
            .route("/healthz", web::get().to(|| async { HttpResponse::Ok().body("ok\n") }))
            .route("/readyz", web::get().to(ready_page))
            .route("/version", web::get().to(version_page))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(2).listen(listener)?.run();
    let handle = server.handle();
    Ok((server, handle, bound))
}

async fn metrics_page(page: web::Data<Page>) -> HttpResponse {
    (page.sample)();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(page.metrics.text())
}

async fn ready_page(page: web::Data<Page>) -> HttpResponse {
    match (page.ready)() {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(why) => HttpResponse::ServiceUnavailable().body(format!("not ready: {why}\n")),
    }
}

async fn version_page() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "program": "netpay-broker", "version": env!("CARGO_PKG_VERSION") }))
}
