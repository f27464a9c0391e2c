def get_system_managers(only_name=False):
    return []
