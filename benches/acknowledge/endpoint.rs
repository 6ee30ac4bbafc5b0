//! The upper bound of the server: it reads the body, verifies GitHub's signature and responds 200 without storing.

use actix_web::web::Bytes;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

async fn receive(http: HttpRequest, body: Bytes) -> HttpResponse {
    let signature = http.headers().get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let claimed = signature.strip_prefix("sha256=").and_then(|text| hex::decode(text).ok()).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(crate::SECRET.as_bytes()).expect("any key");
    mac.update(&body);
    match mac.verify_slice(&claimed) {
        Ok(()) => HttpResponse::Ok()
            .content_type("application/json")
            .body(r#"{"status":"accepted","events":1,"duplicates":0}"#),
        Err(_) => HttpResponse::Unauthorized().finish(),
    }
}

pub(crate) fn serve() {
    actix_web::rt::System::new().block_on(async {
        let server =
            HttpServer::new(|| App::new().default_service(web::to(receive))).bind("127.0.0.1:0").expect("a port");
        println!("http://{}", server.addrs()[0]);
        server.run().await.expect("it serves");
    });
}
