//! A Slurm cluster of one node on the loopback interface: munged, slurmctld and slurmd of our own, in a folder of our own.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::oracle::{tool, tool_path};
use super::program::{Ran, run};

/// How long the daemons may take to find each other, and jobs to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ports are free when they are asked for, and may be taken when they are used.
const ATTEMPTS: u32 = 3;

/// The cluster; it ends when this is dropped.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

/// What became of a job, or of a task of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobEnd {
    /// `COMPLETED`, `FAILED` …
    pub(crate) state: String,
    /// Exit code and signal.
    pub(crate) exit: String,
}

impl Cluster {
    /// Starts the daemons, and waits until the node is idle.
    pub(crate) fn start() -> Self {
        let mut logs = String::new();
        for _ in 0..ATTEMPTS {
            let mut cluster = Self { folder: tempfile::tempdir().unwrap(), daemons: Vec::new() };
            cluster.configure();
            if cluster.run_daemons() {
                return cluster;
            }
            logs = cluster.logs();
        }
        panic!("no Slurm cluster after {ATTEMPTS} attempts{logs}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self) {
        // munged lets nobody in whose way to its socket is closed to others.
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut key = [0; 1024];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut key)).unwrap();
        fs::write(self.path("munge.key"), key).unwrap();
        fs::set_permissions(self.path("munge.key"), Permissions::from_mode(0o400)).unwrap();
        for name in ["state", "spool"] {
            fs::create_dir(self.path(name)).unwrap();
        }
        let here = self.folder.path().display();
        let text = |command: &mut Command| run(command).expect_status(0).text().trim().to_owned();
        let user = text(tool("id").arg("-un"));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap_or_default();
        // Both at once, so that they differ.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = listeners.map(|listener| listener.local_addr().unwrap().port());
        // No cgroups, no accounting, no look at how many processors there really are: a container has its own idea of them.
        let configuration = format!(
            "ClusterName=ibwrt
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={here}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 Port={node} CPUs=4 RealMemory=4096 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"
        );
        fs::write(self.path("slurm.conf"), configuration).unwrap();
        // Told which, it does not look for a hierarchy that a container may not have. Slurm 23.02 can do without.
        let version = text(tool("slurmctld").arg("-V"));
        let release = version.split([' ', '.']).filter_map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
        let plugin = if release >= vec![23, 2] { "disabled" } else { "cgroup/v1" };
        fs::write(self.path("cgroup.conf"), format!("CgroupPlugin={plugin}\nCgroupMountpoint={here}\n")).unwrap();
    }

    /// Whether the node was idle before the patience was over.
    fn run_daemons(&mut self) -> bool {
        let here = self.folder.path().display().to_string();
        let files = ["socket", "key", "log", "pid", "seed"].map(|kind| match kind {
            "socket" => format!("--socket={here}/munge.socket"),
            kind => format!("--{kind}-file={here}/munge.{kind}"),
        });
        let munged: Vec<&str> =
            ["--foreground", "--force"].into_iter().chain(files.iter().map(String::as_str)).collect();
        self.daemon("munged", &munged);
        let socket = self.path("munge.socket");
        if !self.wait(|_| socket.exists()) {
            return false;
        }
        self.daemon("slurmctld", &["-D"]);
        self.daemon("slurmd", &["-D"]);
        self.wait(|cluster| run(cluster.command("sinfo").args(["--noheader", "--format=%T"])).text().trim() == "idle")
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let log = File::create(self.path(&format!("{name}.out"))).unwrap();
        // However these tests end, the daemons end with them.
        let mut command = self.command("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(tool_path(name))
            .args(arguments)
            .current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// Waits for `done`; `false` when a daemon ended or the patience is over.
    fn wait(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if done(self) {
                return true;
            }
            if self.daemons.iter_mut().any(|daemon| daemon.try_wait().unwrap().is_some()) {
                return false;
            }
            sleep(Duration::from_millis(50));
        }
        false
    }

    /// A program of Slurm's that talks to this cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = tool(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLURM_") || name.to_string_lossy().starts_with("SBATCH_") {
                command.env_remove(name);
            }
        }
        command.env("SLURM_CONF", self.path("slurm.conf"));
        command
    }

    /// Submits a job from `folder`; the answer is its number.
    pub(crate) fn submit(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut command = self.command("sbatch");
        command.current_dir(folder).arg("--parsable").args(arguments).env("IBWRT", env!("CARGO_BIN_EXE_ibwrt"));
        let ran = run(&mut command);
        assert_eq!(ran.status, 0, "{ran}{}", self.logs());
        ran.text().trim().to_owned()
    }

    /// Waits for a job, and tells how it ended, or each task of it.
    pub(crate) fn ends(&mut self, job: &str) -> Vec<JobEnd> {
        const OPEN: [&str; 5] = ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED"];
        let look =
            |cluster: &Self| -> Ran { run(cluster.command("scontrol").args(["--oneliner", "show", "job", job])) };
        let ends = |ran: &Ran| -> Vec<JobEnd> {
            let word = |line: &str, key: &str| {
                let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
                found.unwrap_or_default().to_owned()
            };
            let text = ran.text();
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(|line| JobEnd { state: word(line, "JobState"), exit: word(line, "ExitCode") }).collect()
        };
        let is_over = self.wait(|cluster| {
            let ends = ends(&look(cluster));
            !ends.is_empty() && ends.iter().all(|end| !OPEN.contains(&end.state.as_str()))
        });
        let last = look(self);
        assert!(is_over, "job {job} does not end: {last}{}", self.logs());
        ends(&last)
    }

    /// What the daemons said.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["munged.out", "munge.log", "slurmctld.out", "slurmd.out"] {
            let log = fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let _ = write!(text, "\n-- {name}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.daemons.len() == 3 && self.daemons.iter_mut().all(|daemon| matches!(daemon.try_wait(), Ok(None))) {
            // Steps of jobs are no children of ours; the daemons end them.
            let user = fs::read_to_string(self.path("slurm.conf")).unwrap_or_default();
            let user = user.lines().find_map(|line| line.strip_prefix("SlurmUser=")).unwrap_or("root").to_owned();
            let _ = self.command("scancel").args(["--signal=KILL", "--full", "--user", &user]).status();
            let begun = Instant::now();
            let is_empty = |output: std::process::Output| output.stdout.is_empty();
            while begun.elapsed() < Duration::from_secs(5)
                && !self.command("squeue").arg("--noheader").output().is_ok_and(is_empty)
            {
                sleep(Duration::from_millis(100));
            }
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
