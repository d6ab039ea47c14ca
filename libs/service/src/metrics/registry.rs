//! Where families are registered, and what `/metrics` answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder};
use thiserror::Error;

use super::asked::AskedGauges;
use super::doc::FamilyDoc;
use super::handle::{Counter, Gauge, GaugeF64, Histogram};
use super::keyed::KeyedGauges;
use super::label::{By, By2, LabelValue};
use super::partition::PartitionGauges;
use super::process::ProcessMetrics;

/// Why a family was not registered, or not exported.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The name breaks a rule of ours.
    #[error("metric `{name}` {rule}")]
    Name {
        /// The name.
        name: String,
        /// The rule, as a sentence after the name.
        rule: &'static str,
    },
    /// The family exists, or the library refuses its name, help or labels.
    #[error("metric `{name}` cannot be registered")]
    Register {
        /// The name.
        name: String,
        /// What the library said.
        #[source]
        source: prometheus::Error,
    },
    /// The families cannot be written as text.
    #[error("metrics cannot be rendered")]
    Render(#[source] prometheus::Error),
}

/// The families of one component. Clones share them.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    component: &'static str,
    registry: prometheus::Registry,
    docs: Mutex<BTreeMap<String, FamilyDoc>>,
    process: Option<Mutex<ProcessMetrics>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("component", &self.inner.component)
            .finish()
    }
}

impl Registry {
    /// An empty registry but for `hooklane_build_info` and the process's own.
    #[must_use]
    pub fn new(component: &'static str) -> Self {
        let registry = prometheus::Registry::new();
        // In an empty registry nothing can collide; without it only the
        // process's own numbers are missing.
        let process = ProcessMetrics::new(&registry).ok().map(Mutex::new);
        let docs = Mutex::new(BTreeMap::new());
        let new = Self {
            inner: Arc::new(Inner {
                component,
                registry,
                docs,
                process,
            }),
        };
        let info = new.children(
            IntGaugeVec::new(
                Opts::new("hooklane_build_info", "Always 1; says which build this is."),
                &["component", "version"],
            ),
            ("hooklane_build_info", "gauge"),
            &["component", "version"],
            &[vec![component, env!("CARGO_PKG_VERSION")]],
        );
        for gauge in info.into_iter().flatten() {
            gauge.set(1);
        }
        new
    }

    /// The component it was made for.
    #[must_use]
    pub fn component(&self) -> &'static str {
        self.inner.component
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// A name against the rules, or one that is taken; so for all below.
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, MetricsError> {
        self.counters(name, help, &[], &[vec![]]).map(only)
    }

    /// A counter by the values of an enum.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn counter_by<L: LabelValue>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<By<L, Counter>, MetricsError> {
        self.counters(name, help, &[label], &values::<L>())
            .map(By::new)
    }

    /// A counter by the values of two enums.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn counter_by2<A: LabelValue, B: LabelValue>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
    ) -> Result<By2<A, B, Counter>, MetricsError> {
        let pairs: Vec<_> = A::ALL
            .iter()
            .flat_map(|a| B::ALL.iter().map(|b| vec![a.as_str(), b.as_str()]))
            .collect();
        self.counters(name, help, &labels, &pairs).map(By2::new)
    }

    /// A counter by values known at start, in their order (rungs, topics).
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn counter_each(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<Vec<Counter>, MetricsError> {
        self.counters(name, help, &[label], &listed(values))
    }

    /// A gauge of whole numbers without labels.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        self.gauges(name, help, &[], &[vec![]]).map(only)
    }

    /// A gauge of whole numbers by the values of an enum.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge_by<L: LabelValue>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<By<L, Gauge>, MetricsError> {
        self.gauges(name, help, &[label], &values::<L>())
            .map(By::new)
    }

    /// A gauge of whole numbers by values known at start, in their order.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge_each(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<Vec<Gauge>, MetricsError> {
        self.gauges(name, help, &[label], &listed(values))
    }

    /// A gauge with fractions without labels.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge_f64(&self, name: &str, help: &str) -> Result<GaugeF64, MetricsError> {
        self.gauge_f64_each_of(name, help, &[], &[vec![]]).map(only)
    }

    /// A gauge with fractions by values known at start, in their order.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauge_f64_each(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<Vec<GaugeF64>, MetricsError> {
        self.gauge_f64_each_of(name, help, &[label], &listed(values))
    }

    /// A histogram without labels.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        self.histograms((name, help), buckets, &[], &[vec![]])
            .map(only)
    }

    /// A histogram by the values of an enum.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn histogram_by<L: LabelValue>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        label: &str,
    ) -> Result<By<L, Histogram>, MetricsError> {
        self.histograms((name, help), buckets, &[label], &values::<L>())
            .map(By::new)
    }

    /// A histogram by values known at start, in their order.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn histogram_each(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        label: &str,
        values: &[&str],
    ) -> Result<Vec<Histogram>, MetricsError> {
        self.histograms((name, help), buckets, &[label], &listed(values))
    }

    /// A gauge per topic and partition, for those this process owns.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn partition_gauges(
        &self,
        name: &str,
        help: &str,
    ) -> Result<PartitionGauges, MetricsError> {
        let labels = ["topic", "partition"];
        let vec = prometheus::GaugeVec::new(Opts::new(name, help), &labels);
        let vec = self.register(vec, (name, "gauge"), &labels)?;
        Ok(PartitionGauges::new(vec))
    }

    /// A gauge with one label whose rows are asked for at each scrape.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn gauges_asked(
        &self,
        name: &str,
        help: &str,
        label: &str,
        rows: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let vec = prometheus::GaugeVec::new(Opts::new(name, help), &[label]);
        let vec = vec.map_err(|source| MetricsError::Register {
            name: name.to_owned(),
            source,
        })?;
        let rows = Box::new(rows);
        let family = Box::new(AskedGauges { vec, rows });
        self.enter(family, (name, "gauge"), &[label])
    }

    /// A gauge by names that tenants choose, at most `rows_max` at a time.
    ///
    /// # Errors
    /// As for [`Registry::counter`].
    pub fn keyed_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        rows_max: usize,
    ) -> Result<KeyedGauges, MetricsError> {
        let vec = prometheus::GaugeVec::new(Opts::new(name, help), labels);
        let vec = self.register(vec, (name, "gauge"), labels)?;
        Ok(KeyedGauges::new(vec, rows_max))
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// Families that contradict each other; the rules above exclude that.
    pub fn render(&self) -> Result<String, MetricsError> {
        if let Some(process) = &self.inner.process {
            locked(process).refresh();
        }
        TextEncoder::new()
            .encode_to_string(&self.inner.registry.gather())
            .map_err(MetricsError::Render)
    }

    /// What is exported, sorted by name.
    #[must_use]
    pub fn families(&self) -> Vec<FamilyDoc> {
        let mut docs = locked(&self.inner.docs).clone();
        for family in self.inner.registry.gather() {
            let kind = match family.get_field_type() {
                prometheus::proto::MetricType::COUNTER => "counter",
                prometheus::proto::MetricType::HISTOGRAM => "histogram",
                _ => "gauge",
            };
            let name = family.name().to_owned();
            let help = family.help().to_owned();
            // A family without series is not gathered, one of the process's
            // own is not in `docs`: together they are all.
            docs.entry(name.clone())
                .and_modify(|doc| doc.help.clone_from(&help))
                .or_insert_with(|| FamilyDoc {
                    name,
                    kind,
                    labels: Vec::new(),
                    help,
                });
        }
        docs.into_values().collect()
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[Vec<&str>],
    ) -> Result<Vec<Counter>, MetricsError> {
        let vec = IntCounterVec::new(Opts::new(name, help), labels);
        let children = self.children(vec, (name, "counter"), labels, values)?;
        Ok(children.into_iter().map(Counter).collect())
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[Vec<&str>],
    ) -> Result<Vec<Gauge>, MetricsError> {
        let vec = IntGaugeVec::new(Opts::new(name, help), labels);
        let children = self.children(vec, (name, "gauge"), labels, values)?;
        Ok(children.into_iter().map(Gauge).collect())
    }

    fn gauge_f64_each_of(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[Vec<&str>],
    ) -> Result<Vec<GaugeF64>, MetricsError> {
        let vec = prometheus::GaugeVec::new(Opts::new(name, help), labels);
        let children = self.children(vec, (name, "gauge"), labels, values)?;
        Ok(children.into_iter().map(GaugeF64).collect())
    }

    fn histograms(
        &self,
        (name, help): (&str, &str),
        buckets: &[f64],
        labels: &[&str],
        values: &[Vec<&str>],
    ) -> Result<Vec<Histogram>, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let vec = HistogramVec::new(opts, labels);
        let children = self.children(vec, (name, "histogram"), labels, values)?;
        Ok(children.into_iter().map(Histogram).collect())
    }

    /// Registers `vec` and makes a child for each row of label values.
    fn children<T: MetricVecBuilder + 'static>(
        &self,
        vec: Result<MetricVec<T>, prometheus::Error>,
        (name, kind): (&str, &'static str),
        labels: &[&str],
        values: &[Vec<&str>],
    ) -> Result<Vec<T::M>, MetricsError> {
        let vec = self.register(vec, (name, kind), labels)?;
        let children = values
            .iter()
            .map(|row| vec.get_metric_with_label_values(row));
        children
            .collect::<Result<_, _>>()
            .map_err(|source| MetricsError::Register {
                name: name.to_owned(),
                source,
            })
    }

    fn register<T: MetricVecBuilder + 'static>(
        &self,
        vec: Result<MetricVec<T>, prometheus::Error>,
        (name, kind): (&str, &'static str),
        labels: &[&str],
    ) -> Result<MetricVec<T>, MetricsError> {
        let vec = vec.map_err(|source| MetricsError::Register {
            name: name.to_owned(),
            source,
        })?;
        self.enter(Box::new(vec.clone()), (name, kind), labels)?;
        Ok(vec)
    }

    fn enter(
        &self,
        family: Box<dyn Collector>,
        (name, kind): (&str, &'static str),
        labels: &[&str],
    ) -> Result<(), MetricsError> {
        check_name(name, kind)?;
        let help = family
            .desc()
            .first()
            .map(|desc| desc.help.clone())
            .unwrap_or_default();
        let refused = |source| MetricsError::Register {
            name: name.to_owned(),
            source,
        };
        self.inner.registry.register(family).map_err(refused)?;
        let labels = labels.iter().map(ToString::to_string).collect();
        let doc = FamilyDoc {
            name: name.to_owned(),
            kind,
            labels,
            help,
        };
        locked(&self.inner.docs).insert(name.to_owned(), doc);
        Ok(())
    }
}

fn check_name(name: &str, kind: &str) -> Result<(), MetricsError> {
    let rule = if !name.starts_with("hooklane_") {
        "does not begin with `hooklane_`"
    } else if (kind == "counter") != name.ends_with("_total") {
        "breaks the rule that counters, and only they, end in `_total`"
    } else {
        return Ok(());
    };
    Err(MetricsError::Name {
        name: name.to_owned(),
        rule,
    })
}

fn values<L: LabelValue>() -> Vec<Vec<&'static str>> {
    L::ALL.iter().map(|value| vec![value.as_str()]).collect()
}

fn listed<'a>(values: &[&'a str]) -> Vec<Vec<&'a str>> {
    values.iter().map(|value| vec![*value]).collect()
}

fn only<H>(mut handles: Vec<H>) -> H {
    handles
        .pop()
        .expect("one row of label values makes one child")
}

/// A panic elsewhere ends the process anyway; numbers stay readable till then.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
