-- Seasons to be archived by themselves, and whether it is time. One without a last day is
-- never over.
-- Parameters: today in the site's zone
SELECT name, is_active = 0 AND end_date IS NOT NULL AND end_date < ?
FROM `tabGame Subscription Season`
WHERE auto_archive = 1 AND archived_on IS NULL
ORDER BY name
