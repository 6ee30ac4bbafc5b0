//! Sample bodies, shaped like each provider's own, for `send`, `demo` and tests.
//!
//! The id and type are where the provider has them. An event type without a sample gets the provider's envelope with
//! little in it. All names are invented.

use serde_json::{Value, json};

/// A body as the provider would send it for an event of this type.
pub fn sample(provider: &str, event_type: &str, id: &str) -> Vec<u8> {
    let body = match provider {
        "github" => github(event_type),
        "gitlab" => gitlab(event_type),
        "shopify" => shopify(event_type),
        "slack" => slack(event_type, id),
        "stripe" => stripe(event_type, id),
        "standard-webhooks" | "svix" => json!({
            "type": event_type,
            "timestamp": "2026-01-31T12:00:00Z",
            "data": { "id": "usr_7f3k", "email": "ada@example.com" }
        }),
        "adyen" => adyen(event_type, id),
        "aws-sns" => {
            json!({ "Type": event_type, "MessageId": id, "Subject": "Orrery", "Message": "Saturn turns again" })
        }
        "braintree" => return braintree(event_type),
        "ebay" => json!({
            "metadata": { "topic": event_type, "schemaVersion": "1.0", "deprecated": false },
            "notification": {
                "notificationId": id,
                "eventDate": "2026-01-31T12:00:00.000Z",
                "publishDate": "2026-01-31T12:00:01.000Z",
                "publishAttemptCount": 1,
                "data": { "username": "ada", "userId": "ma8vp1jySJC", "eiasToken": "nY+sHZ2PrBmdj6wVnY+sEZ2PrA2dj6w=" }
            }
        }),
        "plaid" => {
            let (kind, code) = event_type.split_once('.').unwrap_or((event_type, ""));
            json!({ "webhook_type": kind, "webhook_code": code, "item_id": id, "environment": "sandbox" })
        }
        "paypal" => paypal(event_type, id),
        _ => json!({ "id": id, "type": event_type, "data": {} }),
    };
    body.to_string().into_bytes()
}

fn with(mut body: Value, further: Value) -> Value {
    if let (Value::Object(members), Value::Object(further)) = (&mut body, further) {
        members.extend(further);
    }
    body
}

fn github(event_type: &str) -> Value {
    let envelope = json!({
        "repository": {
            "id": 1_296_269,
            "name": "orrery",
            "full_name": "octo-org/orrery",
            "private": false,
            "html_url": "https://github.com/octo-org/orrery",
            "clone_url": "https://github.com/octo-org/orrery.git",
            "default_branch": "main"
        },
        "sender": { "login": "octocat", "id": 583_231, "type": "User" }
    });
    let (name, action) = event_type.split_once('.').unwrap_or((event_type, ""));
    let own = match name {
        "push" => github_push(),
        "ping" => json!({
            "zen": "Keep it logically awesome.",
            "hook_id": 30,
            "hook": { "type": "Repository", "id": 30, "active": true, "events": ["push"] }
        }),
        "pull_request" => json!({
            "number": 7,
            "pull_request": {
                "number": 7,
                "state": "open",
                "title": "Let the planets turn the other way",
                "user": { "login": "octocat" },
                "head": { "ref": "retrograde", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246" },
                "base": { "ref": "main", "sha": "a10867b14bb761a232cd80139fbd4c0d33264240" },
                "html_url": "https://github.com/octo-org/orrery/pull/7"
            }
        }),
        "issues" => json!({
            "issue": { "number": 8, "state": "open", "title": "Saturn is stuck", "user": { "login": "octocat" } }
        }),
        _ => json!({}),
    };
    let action = if action.is_empty() { json!({}) } else { json!({ "action": action }) };
    with(with(envelope, own), action)
}

fn github_push() -> Value {
    json!({
        "ref": "refs/heads/main",
        "before": "a10867b14bb761a232cd80139fbd4c0d33264240",
        "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "created": false,
        "deleted": false,
        "forced": false,
        "compare": "https://github.com/octo-org/orrery/compare/a10867b14bb7...6113728f27ae",
        "pusher": { "name": "octocat", "email": "octocat@example.com" },
        "commits": [{
            "id": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            "message": "Oil the gears",
            "timestamp": "2026-01-31T12:00:00Z",
            "author": { "name": "Octo Cat", "email": "octocat@example.com", "username": "octocat" },
            "added": [],
            "removed": [],
            "modified": ["gears.md"]
        }]
    })
}

fn gitlab(event_type: &str) -> Value {
    let kind = event_type.trim_end_matches(" Hook").to_ascii_lowercase().replace(' ', "_");
    let envelope = json!({
        "object_kind": kind,
        "user_username": "tanuki",
        "project": {
            "id": 15,
            "name": "Orrery",
            "path_with_namespace": "octo-org/orrery",
            "web_url": "https://gitlab.example.com/octo-org/orrery",
            "default_branch": "main"
        }
    });
    let own = match event_type {
        "Push Hook" => json!({
            "ref": "refs/heads/main",
            "before": "a10867b14bb761a232cd80139fbd4c0d33264240",
            "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            "checkout_sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            "total_commits_count": 1
        }),
        "Merge Request Hook" => json!({
            "object_attributes": { "iid": 7, "action": "open", "state": "opened", "source_branch": "retrograde", "target_branch": "main" }
        }),
        _ => json!({}),
    };
    with(envelope, own)
}

fn shopify(event_type: &str) -> Value {
    let own = match event_type.split_once('/') {
        Some(("orders", _)) => json!({
            "name": "#1001",
            "email": "ada@example.com",
            "currency": "EUR",
            "total_price": "42.00",
            "financial_status": "paid",
            "line_items": [{ "id": 866_550_311, "title": "Brass gear", "quantity": 2, "price": "21.00" }]
        }),
        Some(("products", _)) => json!({ "title": "Brass gear", "status": "active", "vendor": "Orrery" }),
        _ => json!({}),
    };
    with(json!({ "id": 820_982_911, "created_at": "2026-01-31T12:00:00+00:00" }), own)
}

fn slack(event_type: &str, id: &str) -> Value {
    if event_type == "url_verification" {
        return json!({ "type": "url_verification", "challenge": id });
    }
    json!({
        "type": "event_callback",
        "team_id": "T061EG9R6",
        "api_app_id": "A0PNCHHK2",
        "event_id": id,
        "event_time": 1_769_860_800,
        "event": {
            "type": event_type,
            "user": "U061F7AUR",
            "text": "<@U0LAN0Z89> does Saturn turn again?",
            "ts": "1769860800.000100",
            "channel": "C0LAN2Q65"
        }
    })
}

fn adyen(event_type: &str, id: &str) -> Value {
    let item = json!({
        "additionalData": { "cardSummary": "1111" },
        "amount": { "currency": "EUR", "value": 4200 },
        "eventCode": event_type,
        "eventDate": "2026-01-31T13:00:00+01:00",
        "merchantAccountCode": "OrreryCOM",
        "merchantReference": "order-1001",
        "operations": ["CANCEL", "CAPTURE", "REFUND"],
        "paymentMethod": "visa",
        "pspReference": id,
        "reason": "033899:1111:03/2030",
        "success": "true"
    });
    json!({ "live": "false", "notificationItems": [{ "NotificationRequestItem": item }] })
}

/// The XML that braintree sends base64-encoded in a form.
fn braintree(kind: &str) -> Vec<u8> {
    let kind = kind.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<notification>\n  <kind>{kind}</kind>\n  <timestamp type=\"datetime\">2026-01-31T12:00:00Z</timestamp>\n  \
         <subject>\n    <subscription>\n      <id>saturn</id>\n      <price>42.00</price>\n    </subscription>\n  \
         </subject>\n</notification>\n"
    )
    .into_bytes()
}

fn paypal(event_type: &str, id: &str) -> Value {
    json!({
        "id": id,
        "event_version": "1.0",
        "create_time": "2026-01-31T12:00:00Z",
        "resource_type": "capture",
        "event_type": event_type,
        "summary": "Payment completed for EUR 42.0 EUR",
        "resource": { "id": "27M47624FP291604U", "amount": { "value": "42.00", "currency_code": "EUR" }, "status": "COMPLETED" }
    })
}

fn stripe(event_type: &str, id: &str) -> Value {
    let object = match event_type.rsplit_once('.').map_or(event_type, |(object, _)| object) {
        "invoice" => json!({
            "id": "in_saturn",
            "object": "invoice",
            "customer": "cus_ada",
            "amount_paid": 4200,
            "currency": "eur",
            "status": "paid"
        }),
        "customer.subscription" => json!({
            "id": "sub_saturn",
            "object": "subscription",
            "customer": "cus_ada",
            "status": "active"
        }),
        "checkout.session" => json!({
            "id": "cs_saturn",
            "object": "checkout.session",
            "customer": "cus_ada",
            "amount_total": 4200,
            "currency": "eur",
            "payment_status": "paid"
        }),
        other => json!({ "id": "obj_saturn", "object": other, "customer": "cus_ada" }),
    };
    json!({
        "id": id,
        "object": "event",
        "api_version": "2026-01-28",
        "created": 1_769_860_800,
        "livemode": false,
        "pending_webhooks": 1,
        "type": event_type,
        "data": { "object": object }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(provider: &str, event_type: &str) -> Value {
        serde_json::from_slice(&sample(provider, event_type, "id-1")).unwrap()
    }

    #[test]
    fn id_and_type_are_where_the_provider_has_them() {
        assert_eq!(read("github", "pull_request.opened")["action"], "opened");
        assert!(read("github", "push").get("action").is_none());
        assert_eq!(read("github", "push")["ref"], "refs/heads/main");
        assert_eq!(read("stripe", "invoice.paid")["id"], "id-1");
        assert_eq!(read("stripe", "invoice.paid")["type"], "invoice.paid");
        assert_eq!(read("stripe", "invoice.paid")["data"]["object"]["object"], "invoice");
        assert_eq!(read("slack", "app_mention")["event"]["type"], "app_mention");
        assert_eq!(read("slack", "app_mention")["event_id"], "id-1");
        assert_eq!(read("slack", "url_verification")["challenge"], "id-1");
        assert_eq!(read("gitlab", "Merge Request Hook")["object_kind"], "merge_request");
        assert_eq!(read("svix", "user.created")["type"], "user.created");
        assert_eq!(read("custom", "x"), json!({ "id": "id-1", "type": "x", "data": {} }));
    }
}
