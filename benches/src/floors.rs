//! What the machine can do at best: bytes through pipes and over HTTP, without a protocol.

pub mod http;
pub mod pipes;

/// A message of 200 bytes, line break included.
pub fn line() -> Vec<u8> {
    let mut line = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{{"text":"{}"}}}}"#,
        "x".repeat(138)
    );
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_message_has_the_size_that_it_says() {
        assert_eq!(super::line().len(), 200);
    }
}
