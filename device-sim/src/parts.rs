//! One run from several processes: each publishes for its part of the fleet, all begin together,
//! and what they counted becomes one.
//!
//! A process says `ready` on its standard output when its connections are up, begins when it reads
//! a line, and writes what it counted as one line of JSON.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::process::Stdio;
use std::task::Poll;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::merge::{SecondBySecond, merged};
use crate::options::{Gate, Options, Part};
use crate::progress::{Progress, Show};
use crate::publish::run_in_full;
use crate::report::Run;
use crate::said::{Counted, Said, Sparse, say, sparse, write_line};
use crate::scenario::Scenario;
use crate::settings::{BenchError, Settings};
use crate::truth::{Ledger, Truth};
use crate::watcher::Watcher;

const READY: &str = "ready";

/// Publishes for one part of a scenario's fleet, as one of several processes.
///
/// # Errors
/// When it cannot begin, or cannot say what it counted.
pub async fn part(
    scenario: &Scenario,
    settings: &Settings,
    mut options: Options,
    part: Part,
) -> Result<(), BenchError> {
    let watcher = Watcher::start(None);
    settings.fill(scenario, &mut options).await?;
    let fleet = scenario.fleet(settings.scale, options.seed)?.part(part);
    options.connections = options.connections.div_ceil(part.of);
    options.connect_rate /= part.of as f64;
    options.client_prefix = format!("device-sim-{}-", part.index);
    // Faults differ from part to part, and are the same for the same part.
    options.seed = options.seed.wrapping_add((part.index as u64) << 48);
    let (ready, is_ready) = oneshot::channel();
    let (go, may_go) = oneshot::channel();
    options.gate = Some(Gate { ready, go: may_go });
    tokio::spawn(async move {
        if is_ready.await.is_ok() {
            write_line(READY.as_bytes())?;
            let mut line = String::new();
            BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
            // Gone only if the run has ended already.
            go.send(()).ok();
        }
        Ok::<_, std::io::Error>(())
    });
    let run = run_in_full(fleet, options, std::future::pending()).await;
    let (seen, _) = watcher.stop().await;
    let counted = Counted {
        latency_us: sparse(&run.latency_us),
        lag_us: sparse(&run.lag_us),
        last_us: sparse(&run.last_us),
        report: run.report,
        seconds: run.seconds,
        truths: run.truths,
        clock: run.clock,
        seen,
    };
    say(&Said::Counted(Box::new(counted)))?;
    Ok(())
}

/// Processes that publish one scenario together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    count: usize,
}

struct Worker {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Processes {
    /// So many processes with the arguments of this one.
    pub(crate) fn like_this(count: usize) -> Self {
        Self { count }
    }

    /// Runs them all, and shows how they go. What was planned and what happened goes to `ledger` at
    /// the end.
    ///
    /// # Errors
    /// When one of them fails.
    pub(crate) async fn run(
        self,
        ledger: Option<File>,
        planned: Vec<Truth>,
        show: Show,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Run, BenchError> {
        let mut workers =
            (0..self.count).map(|index| self.spawn(index)).collect::<Result<Vec<_>, _>>()?;
        let running = async {
            for worker in &mut workers {
                worker.ready().await?;
            }
            for worker in &mut workers {
                worker.input.write_all(b"go\n").await?;
            }
            let going = RefCell::new(vec![Progress::default(); workers.len()]);
            let merging = RefCell::new(SecondBySecond::of(workers.len()));
            let counting = workers.iter_mut().enumerate().map(async |(index, worker)| {
                let note = |progress: Progress, latency_us: Sparse| {
                    merging.borrow_mut().add(progress.second, &latency_us);
                    let mut going = going.borrow_mut();
                    going[index] = progress;
                    // The first beats time for all.
                    if index == 0 {
                        show.tell(&Progress::sum(&going));
                    }
                };
                worker.counted(note).await
            });
            let parts = all(counting).await?;
            show.end();
            Ok::<_, BenchError>((parts, merging.into_inner()))
        };
        let (parts, seconds) = tokio::select! {
            both = running => both?,
            // Workers end with us: they are killed when they are dropped.
            () = shutdown => return Err(BenchError::Process("was interrupted".into())),
        };
        let mut run = merged(parts, seconds)
            .ok_or_else(|| BenchError::Process("was never started".into()))?;
        let mut file = Ledger::new(ledger, true);
        planned
            .into_iter()
            .chain(std::mem::take(&mut run.truths))
            .for_each(|truth| file.note(truth));
        let (truths, failed) = file.end(run.clock);
        run.truths = truths;
        match failed {
            Some(error) => Err(BenchError::Process(format!("cannot write the ledger: {error}"))),
            None => Ok(run),
        }
    }

    fn spawn(self, index: usize) -> Result<Worker, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(std::env::args_os().skip(1))
            .args(["--part", &format!("{index}/{}", self.count)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Process("has no input or output".into()));
        };
        Ok(Worker { child, input, lines: BufReader::new(output).lines() })
    }
}

/// All results, or the first error; each is waited for at the same time as the others.
async fn all<T, E>(
    futures: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        for (future, result) in waiting.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(cx) {
                *result = Some(ready?);
            }
        }
        let done = waiting.iter().all(|(_, result)| result.is_some());
        if done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(waiting.into_iter().filter_map(|(_, result)| result).collect())
}

impl Worker {
    async fn line(&mut self) -> Result<String, BenchError> {
        match self.lines.next_line().await? {
            Some(line) => Ok(line),
            None => {
                let status = self.child.wait().await?;
                Err(BenchError::Process(format!("ended too soon: {status}")))
            }
        }
    }

    /// A process that finds no broker says at once what it counted; that is an answer as well.
    async fn ready(&mut self) -> Result<(), BenchError> {
        match self.line().await? {
            line if line == READY => Ok(()),
            _ => Err(BenchError::Process("could not connect to the broker".into())),
        }
    }

    /// Tells how it goes until it says what it counted.
    async fn counted(&mut self, note: impl Fn(Progress, Sparse)) -> Result<Counted, BenchError> {
        loop {
            let line = self.line().await?;
            match serde_json::from_str(&line) {
                Ok(Said::Progress(progress, latency_us)) => note(progress, latency_us),
                Ok(Said::Counted(counted)) => return Ok(*counted),
                Err(error) => {
                    let why = format!("did not say what it counted: {error}");
                    return Err(BenchError::Process(why));
                }
            }
        }
    }
}
