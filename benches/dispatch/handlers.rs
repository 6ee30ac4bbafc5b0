//! Handlers that do nothing, so that only hookbox is measured: this program as a worker and as a URL.

use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};

use actix_web::web::Bytes;
use actix_web::{App, HttpResponse, HttpServer, web};

/// A Python command that does the same as the worker, with a process per job.
pub(crate) const PYTHON: &str = "import sys\nimport json\n";
pub(crate) const PYTHON_WORKER: &str = "import sys\nimport json\nsys.stdin.readline()\nfor line in sys.stdin:\n    \
                                        print(json.dumps({\"id\": json.loads(line)[\"id\"], \"ok\": True}), flush=True)\n";

/// Replies to each job.
pub(crate) fn work() {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines().skip(1) {
        let line = line.expect("a line");
        let id = line.strip_prefix("{\"id\":").and_then(|rest| rest.split(',').next()).expect("an id");
        output.write_all(format!("{{\"id\":{id},\"ok\":true}}\n").as_bytes()).expect("it is heard");
        output.flush().expect("it is heard");
    }
}

/// Responds 200 to every request.
pub(crate) fn serve() {
    let answer = async |_: Bytes| HttpResponse::Ok().finish();
    actix_web::rt::System::new().block_on(async {
        let server =
            HttpServer::new(move || App::new().default_service(web::to(answer))).bind("127.0.0.1:0").expect("a port");
        println!("http://{}", server.addrs()[0]);
        server.run().await.expect("it serves");
    });
}

/// Starts this program as the URL.
pub(crate) fn start_endpoint() -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--endpoint")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the endpoint starts");
    let [address] = crate::load::lines_after(child.stdout.take().expect("stdout"), ["http://"]);
    (child, format!("http://{address}"))
}
