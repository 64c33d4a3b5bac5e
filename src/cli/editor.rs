//! The operator's own editor, on a text that nobody else may read and that is gone afterwards.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// What the operator makes of the text. Fails, and leaves nothing, if the editor fails or we are told to end.
pub async fn edit(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    // Removed when dropped, with what the editor put beside it: copies of its own, that is.
    let folder = tempfile::Builder::new()
        .prefix("leadrelay-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("failed to make a folder for the text to edit")?;
    let path = folder.path().join("letter.json");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text)?;
    drop(file);
    open(&path).await?;
    fs::read(&path).context("failed to read what the editor wrote")
}

async fn open(path: &Path) -> anyhow::Result<()> {
    let editor = editor();
    // As git does: the variable holds a command with its arguments.
    let mut command = OsString::from(&editor);
    command.push(" \"$1\"");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .arg("sh")
        .arg(path)
        .kill_on_drop(true)
        .spawn()
        .context("failed to start a shell for the editor")?;
    // Ctrl-C in the editor is the editor's: once listened to, it ends us no more.
    let _interrupts = signal(SignalKind::interrupt())?;
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = terminate.recv() => bail!("told to end while the editor was open; nothing was done"),
        _ = hang_up.recv() => bail!("the terminal went away while the editor was open; nothing was done"),
    };
    if !status.success() {
        bail!("the editor ({}) ended with {status}; nothing was done", editor.display());
    }
    Ok(())
}

fn editor() -> OsString {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into())
}
