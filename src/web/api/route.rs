//! A route of the API: what OpenAPI says about it, and the operation that runs.
//!
//! The table of routes in `mod.rs` both registers the routes and generates the OpenAPI document, so that they cannot differ.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, guard};
use serde_json::json;

use super::context::{ApiContext, ApiRequest, Reply};
use super::error::ApiError;
use super::query::ListQuery;

use crate::web::state::WebState;

type Operation = fn(&ApiContext, &ApiRequest) -> Result<Reply, ApiError>;

/// A query parameter. `kind` names a schema of `schemas::parameter`.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryParameter {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) description: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// Description of the variable part of the path.
    pub(super) parameter: &'static str,
    pub(super) query: &'static [QueryParameter],
    /// The schema of the body.
    pub(super) body: Option<&'static str>,
    /// The type of the response, in the notation of `schemas::type_schema`; `binary` for a file.
    pub(super) returns: &'static str,
    /// What the response contains.
    pub(super) response: &'static str,
    /// Whether the operation may answer 202 and continue in the background.
    pub(super) is_bulk: bool,
    run: Operation,
}

impl Route {
    pub(super) const fn get(path: &'static str, id: &'static str, summary: &'static str, run: Operation) -> Self {
        Self {
            method: "get",
            path,
            id,
            summary,
            description: "",
            parameter: "",
            query: &[],
            body: None,
            returns: "",
            response: "",
            is_bulk: false,
            run,
        }
    }

    pub(super) const fn post(path: &'static str, id: &'static str, summary: &'static str, run: Operation) -> Self {
        Self { method: "post", ..Self::get(path, id, summary, run) }
    }

    pub(super) const fn description(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    pub(super) const fn parameter(self, parameter: &'static str) -> Self {
        Self { parameter, ..self }
    }

    pub(super) const fn query(self, query: &'static [QueryParameter]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    pub(super) const fn returns(self, returns: &'static str, response: &'static str) -> Self {
        Self { returns, response, ..self }
    }

    /// An operation on many jobs.
    pub(super) const fn bulk(self) -> Self {
        let route =
            self.body("JobSelection").returns("BulkResult", "How many jobs were changed, and why others were not.");
        Self { is_bulk: true, ..route }
    }

    pub(super) fn register(&'static self, config: &mut ServiceConfig) {
        let allowed = if self.method == "get" { "GET, HEAD" } else { "POST" };
        let not_allowed = move || async move { method_not_allowed(allowed) };
        let route = match (self.method, self.body) {
            ("get", _) => web::route()
                .guard(guard::Any(guard::Get()).or(guard::Head()))
                .to(move |state, request| self.handle(state, request, Bytes::new())),
            (_, None) => web::post().to(move |state, request| self.handle(state, request, Bytes::new())),
            (_, Some(_)) => web::post().to(move |state, request, body: JsonBody| self.handle(state, request, body.0)),
        };
        config.service(web::resource(self.path).route(route).default_service(web::to(not_allowed)));
    }

    /// A route without query parameters ignores the query.
    fn parse_query(&self, query: &str) -> Result<ListQuery, ApiError> {
        let allowed: Vec<&str> = self.query.iter().map(|parameter| parameter.name).collect();
        ListQuery::parse(if allowed.is_empty() { "" } else { query }, &allowed)
    }

    /// Runs the operation on a blocking thread, since it reads the inbox.
    async fn handle(
        &'static self,
        state: Data<WebState>,
        request: HttpRequest,
        body: Bytes,
    ) -> Result<HttpResponse, Error> {
        let has_parameter = self.path.contains('{');
        let parameter =
            if has_parameter { Path::<String>::extract(&request).await?.into_inner() } else { String::new() };
        let query = match self.parse_query(request.query_string()) {
            Ok(query) => query,
            Err(error) => return Ok(error.response()),
        };
        let (ctx, request) = (ApiContext::new(&state), ApiRequest { parameter, query, body });
        let result = web::block(move || (self.run)(&ctx, &request)).await;
        let result = result.unwrap_or_else(|error| Err(ApiError::Internal(error.to_string())));
        Ok(result.map_or_else(|error| error.response(), Reply::into_response))
    }
}

fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let error = json!({ "error": "method not allowed", "hint": format!("use {allowed}") });
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).json(error)
}

/// A body that arrived completely and is not too large.
struct JsonBody(Bytes);

impl FromRequest for JsonBody {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            bytes.await.map(Self).map_err(|error| {
                let api_error = match error.as_response_error().status_code() {
                    StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
                    _ => ApiError::BadRequest("the body could not be read".to_owned()),
                };
                actix_web::error::InternalError::from_response(error, api_error.response()).into()
            })
        })
    }
}
