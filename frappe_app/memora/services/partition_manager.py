"""Partitions of the table of schedules, one for each season.

Each method is also a function of this module, for ``bench execute``.
"""

from memora.services import engine
from memora.services.season_argument import either_name

CLASS = "PartitionManager"


class PartitionManager:
	"""Partitions of the site at hand.

	The engine works on a connection of its own: uncommitted rows of Frappe's are not seen, and an
	open transaction that touched the table can hold up what changes it (UnavailableError, 503,
	after ten seconds).
	"""

	@either_name
	def create_season_partition(self, season_name) -> bool:
		"""Make the season's partition; True when this call made one, False when it was there.

		Raises ValidationError for what is no season's name, MemoraError if the table is not migrated.
		"""
		return engine.call(CLASS, "create_season_partition", season_name)

	@either_name
	def check_partition_exists(self, season_name) -> bool:
		"""Whether rows of this season have a partition, by MariaDB's comparison of names."""
		return engine.call(CLASS, "check_partition_exists", season_name)

	def is_table_partitioned(self) -> bool:
		"""Whether the table has partitions: what a migration does last to it."""
		return engine.call(CLASS, "is_table_partitioned")

	def get_all_partitions(self) -> list[dict]:
		"""All partitions, each as ``get_partition_stats`` has it."""
		return engine.call(CLASS, "get_all_partitions")

	@either_name
	def get_partition_stats(self, season_name=None) -> list[dict]:
		"""Size of all partitions, or of that of one season.

		Each is partition_name, season, rows (as InnoDB estimates), data_bytes and index_bytes.
		"""
		return engine.call(CLASS, "get_partition_stats", season_name)

	def create_composite_index(self) -> bool:
		"""Make the index of reads without the cache; True when this call made it.

		The whole migration: its steps need each other.
		"""
		return engine.call(CLASS, "create_composite_index")


@either_name
def create_season_partition(season_name) -> bool:
	"""See ``PartitionManager.create_season_partition``."""
	return PartitionManager().create_season_partition(season_name)


@either_name
def check_partition_exists(season_name) -> bool:
	"""See ``PartitionManager.check_partition_exists``."""
	return PartitionManager().check_partition_exists(season_name)


def is_table_partitioned() -> bool:
	"""See ``PartitionManager.is_table_partitioned``."""
	return PartitionManager().is_table_partitioned()


def get_all_partitions() -> list[dict]:
	"""See ``PartitionManager.get_all_partitions``."""
	return PartitionManager().get_all_partitions()


@either_name
def get_partition_stats(season_name=None) -> list[dict]:
	"""See ``PartitionManager.get_partition_stats``."""
	return PartitionManager().get_partition_stats(season_name)


def create_composite_index() -> bool:
	"""See ``PartitionManager.create_composite_index``."""
	return PartitionManager().create_composite_index()
