# Two buckets in two regions for one repository, each locked against deletion for a while, with the four roles of seawall.
#
# Take it as a beginning: names, places and days are yours. Two projects with different owners are better than one; name the same project
# twice where there is only one. The roles hold exactly what config/iam/google says, which the tests hold against what seawall uses.
#
# A lock cannot be shortened or taken away once it is final: try with locked = false first. `seawall check` compares it with
# retention.max_age.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.20"
    }
  }
}

variable "regions" {
  description = "The two regions: location, bucket and project of each."
  type = map(object({
    bucket   = string
    location = string
    project  = string
  }))
  default = {
    west = {
      bucket   = "acme-dr-west"
      location = "europe-west3"
      project  = "acme-dr-west"
    }
    north = {
      bucket   = "acme-dr-north"
      location = "europe-north1"
      project  = "acme-dr-north"
    }
  }
}

variable "lock_days" {
  description = "So long no object can be deleted or replaced, by anybody. At most retention.max_age."
  type        = number
  default     = 14
}

variable "locked" {
  description = "Whether the lock is final. That cannot be undone."
  type        = bool
  default     = false
}

variable "kms_keys" {
  description = "Keys that seal new objects on Google's side, by region; none where a region is not named."
  type        = map(string)
  default     = {}
}

locals {
  roles = {
    for role in ["writer", "pruner", "reader", "observer"] :
    role => yamldecode(file("${path.module}/../../iam/google/${role}.yaml"))
  }
  # One account and one custom role for each role in each region's project.
  grants = {
    for pair in setproduct(keys(var.regions), keys(local.roles)) :
    "${pair[0]}-${pair[1]}" => { region = pair[0], role = pair[1] }
  }
}

resource "google_storage_bucket" "region" {
  for_each = var.regions

  name                        = each.value.bucket
  location                    = each.value.location
  project                     = each.value.project
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  retention_policy {
    retention_period = var.lock_days * 86400
    is_locked        = var.locked
  }

  # What prune deletes is gone when it is deleted: the lock and the grace are the protection. Whoever sets this higher
  # adds it to the age that stored bytes can reach; `seawall check` says the sum.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # No rule that deletes objects by age: what is needed is seawall's to know. This one ends uploads that nobody finished, should another tool
  # ever begin one.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "encryption" {
    for_each = contains(keys(var.kms_keys), each.key) ? [var.kms_keys[each.key]] : []
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_project_iam_custom_role" "role" {
  for_each = local.grants

  project     = var.regions[each.value.region].project
  role_id     = "seawall_${each.value.region}_${each.value.role}"
  title       = local.roles[each.value.role].title
  description = local.roles[each.value.role].description
  stage       = local.roles[each.value.role].stage
  permissions = local.roles[each.value.role].includedPermissions
}

resource "google_service_account" "account" {
  for_each = local.grants

  project      = var.regions[each.value.region].project
  account_id   = "seawall-${each.key}"
  display_name = "${local.roles[each.value.role].title} in ${each.value.region}"
}

resource "google_storage_bucket_iam_member" "grant" {
  for_each = local.grants

  bucket = google_storage_bucket.region[each.value.region].name
  role   = google_project_iam_custom_role.role[each.key].id
  member = "serviceAccount:${google_service_account.account[each.key].email}"
}

output "accounts" {
  description = "Whom to let the hosts be, by region and role."
  value       = { for key, account in google_service_account.account : key => account.email }
}

output "regions" {
  description = "For the settings of seawall: [[repository.region]] url."
  value       = { for key, bucket in google_storage_bucket.region : key => "gs://${bucket.name}/pg" }
}
