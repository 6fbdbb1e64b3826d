//! Hands one event to a shell command.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::cli::failure::{Failure, Result};

/// Runs the command with the line on its stdin. `Some` says how it failed; `Err` that it could not be run at all.
pub(super) async fn run(command: &str, mut line: Vec<u8>) -> Result<Option<String>> {
    let failed = |error| Failure::local(format!("run {command}"), error);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        line.push(b'\n');
        // A command may exit without reading; its exit status says what that means.
        let _ = stdin.write_all(&line).await;
    }
    let status = child.wait().await.map_err(failed)?;
    Ok((!status.success()).then(|| status.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_exit_status_decides() {
        assert_eq!(run("grep -q hello", b"hello".to_vec()).await.expect("run"), None);
        assert!(run("grep -q hello", b"bye".to_vec()).await.expect("run").is_some());
        assert_eq!(run("true", vec![b'x'; 1 << 20]).await.expect("run"), None);
    }
}
