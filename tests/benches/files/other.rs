//! What is compared with: `age` and `curl` to a web server with TLS. They hide no sizes, resume nothing, and sync nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server, until it is dropped.
pub struct Web(Child);

impl Drop for Web {
    fn drop(&mut self) {
        // A master process ends its workers when it is asked to end.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Whether this machine has the programs.
pub fn is_here() -> bool {
    ["age", "curl", "nginx"].iter().all(|program| {
        let asked = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    })
}

/// A web server that stores what it is sent in this directory; its port.
pub fn serve(directory: &Path) -> (Web, u16) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let at = |name: &str| directory.join(name);
    std::fs::create_dir_all(at("files")).unwrap();
    std::fs::write(at("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let shown = directory.display();
    let settings = format!(
        "daemon off; user root; worker_processes 2; pid {shown}/pid; error_log {shown}/errors;\n\
         events {{}}\n\
         http {{ access_log off; client_max_body_size 0; client_body_temp_path {shown}/body;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {shown}/cert.pem;\n\
         ssl_certificate_key {shown}/key.pem; root {shown}/files; location / {{ dav_methods PUT; }} }} }}\n"
    );
    std::fs::write(at("nginx.conf"), settings).unwrap();
    let child = Command::new("nginx")
        .args(["-p".as_ref(), directory.as_os_str(), "-c".as_ref()])
        .arg(at("nginx.conf"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (Web(child), port)
}

/// How long `age -r … FILE | curl -T -` takes.
pub fn put(file: &Path, port: u16) -> Duration {
    let keys = Command::new("age-keygen").output().unwrap();
    let keys = String::from_utf8(keys.stdout).unwrap();
    let recipient = keys.split("public key: ").nth(1).unwrap();
    let recipient = recipient.split_whitespace().next().unwrap();
    let line = format!(
        "age -r {recipient} '{}' | curl -sSf -k -T - https://localhost:{port}/there",
        file.display()
    );
    let began = Instant::now();
    let status = Command::new("sh").args(["-c", &line]).status().unwrap();
    let took = began.elapsed();
    assert!(status.success());
    took
}
