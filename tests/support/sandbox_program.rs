//! `leadrelay sandbox salesforce`, the program itself, in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A process, until it is dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Sandbox {
    _process: Process,
    pub url: String,
    pub certificate: Option<String>,
    _folder: TempDir,
}

impl Sandbox {
    pub fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
            .args(["sandbox", "salesforce", "--listen", "127.0.0.1:0", "--json"])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Process(process);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        Self { _process: process, url: text("url").unwrap(), certificate: text("certificate"), _folder: folder }
    }

    pub fn web_to_lead_url(&self) -> String {
        format!("{}/servlet/servlet.WebToLead", self.url)
    }

    /// An order below `/_sandbox`, over HTTP as anybody would give it, and the answer.
    pub fn order(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, &format!("/_sandbox/{path}"), &[JSON], &body.to_string());
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// The status and body of any request.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: org\r\nConnection: close\r\n{headers}");
        write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
