//! Is a program of another language that a test drives installed here, and if not, can it be had from its registry?

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::Command,
    time::{Instant, timeout_at},
};

/// For all downloads of a run together, so that a slow registry delays the other tests no longer.
const LONGEST_DOWNLOADS: Duration = Duration::from_secs(240);

/// On a busy machine, with an empty cache of the compiler.
const LONGEST_BUILD: Duration = Duration::from_secs(180);

/// Written when an installation is complete: the manifests that it was made from.
const STAMP: &str = "installed";

/// What a test installs and runs.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// The folder below `tests` with its program and manifests, and the one below `target` in which it is installed.
    pub folder: &'static str,
    /// Its name and version.
    pub named: &'static str,
    /// Lets the tests download it where it is not installed yet, by the value 1.
    pub consent: &'static str,
    /// The files that fix the versions. An installation by others is not used.
    pub manifests: &'static [&'static str],
    /// Downloads what the manifests name into the working directory. No other command needs a network.
    pub install: &'static [&'static str],
    /// Compiles the program, where it is not run from its source.
    pub build: &'static [&'static str],
}

/// Installs what `requirements.txt` names into `lib`, and runs no script of a package.
pub const PIP_INSTALL: &[&str] = &[
    "python3",
    "-m",
    "pip",
    "install",
    "--quiet",
    "--only-binary",
    ":all:",
    "--target",
    "lib",
    "-r",
    "requirements.txt",
];

/// The directory below `target` in which the program can be run, or the reason why there is none.
pub async fn installed(package: &Package, target: &Path) -> Result<PathBuf, String> {
    let directory = target.join(package.folder);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(package.folder);
    let read = |file| fs::read_to_string(source.join(file)).unwrap();
    let manifests: String = package.manifests.iter().map(read).collect();
    let stamp = directory.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == manifests) {
        copy_files(&source, &directory).unwrap();
    } else {
        let Package { named, consent, .. } = package;
        if env::var_os(consent).is_none_or(|value| value != "1") {
            return Err(format!("{named} is not installed, and only {consent}=1 lets this test download it"));
        }
        let downloaded = download(package, &source, &directory).await;
        downloaded.map_err(|why| format!("{named} cannot be installed: {why}"))?;
        fs::write(&stamp, manifests).unwrap();
    }
    if !package.build.is_empty() {
        // The program is ours: that it does not compile is no reason to skip.
        finish(package.build, &directory, Instant::now() + LONGEST_BUILD).await.unwrap();
    }
    Ok(directory)
}

async fn download(package: &Package, source: &Path, directory: &Path) -> Result<(), String> {
    static END: OnceLock<Instant> = OnceLock::new();
    let end = *END.get_or_init(|| Instant::now() + LONGEST_DOWNLOADS);
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
    copy_files(source, directory).unwrap();
    finish(package.install, directory, end).await
}

fn copy_files(source: &Path, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        fs::copy(&path, directory.join(path.file_name().unwrap()))?;
    }
    Ok(())
}

/// Runs a command to its end, or ends it and its children.
async fn finish(words: &[&str], directory: &Path, end: Instant) -> Result<(), String> {
    let shown = words.join(" ");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(directory).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("{}: {error}", words[0]))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).unwrap();
    let Ok(output) = timeout_at(end, child.wait_with_output()).await else {
        let _ = kill_process_group(group, Signal::KILL);
        return Err(format!("`{shown}` takes too long"));
    };
    let output = output.map_err(|error| format!("`{shown}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    // The harness shows it where the test fails for it, or with `--nocapture`.
    eprintln!("{printed}");
    Err(format!("`{shown}` failed: {}", gist(&printed)))
}

/// The first line that says more than that an installer begins, or tries again.
fn gist(printed: &str) -> &str {
    let is_news = |line: &&str| !line.is_empty() && !line.contains("WARNING") && !line.contains("downloading");
    printed.lines().map(str::trim).find(is_news).unwrap_or("no word")
}

#[tokio::test]
async fn a_command_that_fails_says_why_and_one_that_hangs_is_ended_with_its_children() {
    let directory = tempfile::TempDir::new().unwrap();
    let soon = || Instant::now() + Duration::from_secs(60);
    let run = async |script: &str, end| finish(&["sh", "-c", script], directory.path(), end).await;
    assert_eq!(run("echo done", soon()).await, Ok(()));
    assert_eq!(
        run("echo WARNING: again; echo no route >&2; exit 7", soon()).await.unwrap_err(),
        "`sh -c echo WARNING: again; echo no route >&2; exit 7` failed: no route"
    );
    let missing = finish(&["no-such-program"], directory.path(), soon()).await.unwrap_err();
    assert!(missing.starts_with("no-such-program: "), "{missing}");

    let child = directory.path().join("child");
    let script = "sleep 600 & echo $! > child; wait";
    let end = Instant::now() + Duration::from_millis(500);
    assert!(run(script, end).await.unwrap_err().ends_with("takes too long"));
    let pid = fs::read_to_string(child).unwrap().trim().to_owned();
    crate::eventually("the child is gone", async || {
        // A zombie is gone too: nobody waits for it where the first process does not.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
            || !Path::new(&format!("/proc/{pid}")).exists()
    })
    .await;
}
