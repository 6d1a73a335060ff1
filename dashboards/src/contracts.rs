//! The documents that programs go by: what is asked over HTTP, which topics there are, and the
//! schemas that a message's `dataschema` names. They are no secret: nobody needs a login for them.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

const OPENAPI: &str = include_str!("../../docs/api/openapi.json");
const ASYNCAPI: &str = include_str!("../../docs/api/asyncapi.json");

/// By the name that `dataschema` has.
const SCHEMAS: [(&str, &str); 4] = [
    ("urn:datanaut:schema:event:1", include_str!("../../docs/api/schemas/event-1.json")),
    ("urn:datanaut:schema:trigger:1", include_str!("../../docs/api/schemas/trigger-1.json")),
    ("urn:datanaut:schema:privacy:1", include_str!("../../docs/api/schemas/privacy-1.json")),
    ("urn:datanaut:schema:test:1", include_str!("../../docs/api/schemas/test-1.json")),
];

pub(crate) fn is_one(path: &str) -> bool {
    matches!(path, "/openapi.json" | "/asyncapi.json") || path.starts_with("/schemas/")
}

pub(crate) async fn openapi() -> Response {
    document("application/json", OPENAPI)
}

pub(crate) async fn asyncapi() -> Response {
    document("application/json", ASYNCAPI)
}

pub(crate) async fn schema(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = SCHEMAS.iter().find(|(known, _)| *known == name);
    let (_, schema) = found.ok_or_else(|| {
        Problem::not_found(
            format!("there is no schema \"{name}\""),
            "use the dataschema of a message, as in urn:datanaut:schema:trigger:1",
        )
    })?;
    Ok(document("application/schema+json", schema))
}

fn document(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enrich::registry::Product;
    use serde_json::Value;

    use super::{ASYNCAPI, OPENAPI, SCHEMAS};
    use crate::door;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_address_is_described_and_nothing_else() {
        let served: BTreeSet<String> = door::paths().map(str::to_owned).collect();
        let described = parsed(OPENAPI)["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(served, described);
    }

    #[test]
    fn a_schema_bears_the_name_it_is_asked_by_and_knows_every_product() {
        let products: BTreeSet<&str> = Product::ALL.into_iter().map(Product::name).collect();
        let named = |list: &Value| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        for (name, text) in SCHEMAS {
            let schema = parsed(text);
            assert_eq!(schema["$id"], name);
            let listed = &schema["properties"]["product"]["enum"];
            assert!(
                listed.is_null() || named(listed).iter().map(String::as_str).eq(products.clone())
            );
        }
        let topics = parsed(ASYNCAPI);
        let listed = &topics["channels"]["triggers"]["parameters"]["product"]["enum"];
        assert!(named(listed).iter().map(String::as_str).eq(products));
    }
}
