//! The OpenAPI document, generated from the table of routes and the schemas.
//!
//! Responses that follow from a route's shape are added here: 400 for parameters and bodies, 404 for a path with a variable
//! part, 413 for bodies, and those that every route has.

use serde_json::{Map, Value, json};

use super::route::Route;
use super::schemas;

const DESCRIPTION: &str = "The same data and operations as the dashboard and the command line. Keys are those of `--json` and the \
    column names of schema.sql. Times are unix milliseconds. If a token is set in \
    [admin], send it as `Authorization: Bearer TOKEN`. Without one, send changes with `Content-Type: application/json`, \
    which no page of another site can send. The dashboard's own pages send their CSRF token in `Hookbox-Csrf`.";

/// Name, status and description of each error response.
const ERRORS: [(&str, u16, &str); 9] = [
    ("BadRequest", 400, "A parameter or the body is invalid."),
    ("Unauthorized", 401, "A token is required."),
    ("Forbidden", 403, "Unknown host, another site's page, or no proof against a forged request."),
    ("NotFound", 404, "It does not exist, or no longer."),
    ("MethodNotAllowed", 405, "The path has another method; see the `Allow` header."),
    ("TooManyChanges", 409, "Four bulk changes are running already."),
    ("TooLarge", 413, "The body is longer than 64 KiB."),
    ("TooManyRequests", 429, "Too many wrong tokens."),
    ("Unavailable", 503, "The inbox cannot be read or written at the moment."),
];

pub(super) fn document(routes: &[Route]) -> Result<Value, toml::de::Error> {
    let mut paths = Map::new();
    for route in routes {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method] = operation(route);
    }
    let errors: Map<String, Value> = ERRORS
        .iter()
        .map(|(name, _, description)| {
            ((*name).to_owned(), json!({ "description": description, "content": json_content("Error") }))
        })
        .collect();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookbox",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0" },
            "description": DESCRIPTION,
        },
        "security": [{}, { "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "responses": errors,
            "schemas": schemas::all()?,
        },
    }))
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({ "operationId": route.id, "summary": route.summary, "responses": responses(route) });
    if !route.description.is_empty() {
        operation["description"] = route.description.into();
    }
    let parameters: Vec<Value> = path_parameter(route).into_iter().chain(query_parameters(route)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({ "required": route.is_bulk, "content": json_content(schema) });
    }
    operation
}

fn path_parameter(route: &Route) -> Option<Value> {
    let (_, rest) = route.path.split_once('{')?;
    let (name, _) = rest.split_once('}')?;
    let schema = if name == "name" { json!({ "type": "string" }) } else { schemas::parameter("id") };
    Some(json!({ "name": name, "in": "path", "required": true, "description": route.parameter, "schema": schema }))
}

fn query_parameters(route: &Route) -> impl Iterator<Item = Value> {
    route.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": false,
            "description": parameter.description,
            "schema": schemas::parameter(parameter.kind),
        })
    })
}

fn responses(route: &Route) -> Value {
    let content = match route.returns {
        "binary" => json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } }),
        returns => json_content(returns),
    };
    let mut responses = json!({ "200": { "description": route.response, "content": content } });
    if route.is_bulk {
        responses["202"] = json!({
            "description": "The change is running in the background.",
            "headers": { "Location": {
                "description": "The path of the change's progress.",
                "required": true,
                "schema": { "type": "string" },
            } },
            "content": json_content("BulkChange"),
        });
    }
    for (name, status, _) in ERRORS {
        let can_happen = match status {
            400 => !route.query.is_empty() || route.body.is_some(),
            404 => route.path.contains('{') || route.is_bulk,
            409 => route.is_bulk,
            413 => route.body.is_some(),
            _ => true,
        };
        if can_happen {
            responses[status.to_string()] = json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
    responses
}

fn json_content(schema: &str) -> Value {
    json!({ "application/json": { "schema": schemas::type_schema(schema) } })
}
